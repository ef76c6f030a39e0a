"""The rights of cert-manager's chart, and what its log says of one that it lacks."""

from deployments.sandbox.cert_manager.rights import lacking, rules

TEMPLATE = """{{- if .Values.global.rbac.create }}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ template "cert-manager.fullname" . }}-controller-issuers
  labels:
    {{- include "labels" . | nindent 4 }}
    app: {{ include "cert-manager.name" . }}
rules:
  {{- /*
  More than
  one line: two
  */}}
  - apiGroups: ["cert-manager.io"]
    resources: ["issuers"]
    verbs: ["get"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ template "cert-manager.fullname" . }}-view
rules:
  - apiGroups: ["cert-manager.io"]
    resources: ["certificates"]
    verbs: ["list"]
{{- end }}
"""
REFUSED = (
    'err="secrets \\"web-tls\\" is forbidden: User \\"system:serviceaccount:a:b\\" cannot '
    'patch resource \\"secrets\\" in API group \\"\\" in the namespace \\"certificates-ops\\""\n'
)
UNKNOWN = 'err="failed to list *v1.Certificate: the server could not find the requested resource"\n'


def test_the_rules_are_those_of_its_controllers() -> None:
    """A template of Helm is read without Helm; roles for people are left out."""
    assert rules(TEMPLATE) == [{"apiGroups": ["cert-manager.io"], "resources": ["issuers"], "verbs": ["get"]}]


def test_what_it_lacks_is_said_once() -> None:
    """Each right and each kind of resource that it asks for in vain is one sentence."""
    assert lacking(3 * (REFUSED + UNKNOWN) + "I1129 all is well\n") == [
        "OPS does not serve Certificate in cert-manager's version",
        "cert-manager may not patch secrets",
    ]
