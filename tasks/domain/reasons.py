"""Stable codes, each with a sentence and a remedy for the reader of a report.

`Reason` explains why a certificate is or is not sent; `FailureCode` explains how a request to a cluster
failed. The values are part of the interface (reports, metrics, alerts): codes are added, but never renamed.
"""

from enum import StrEnum
from typing import Self


class ExplainedCode(StrEnum):
    """An enum whose members are a code, a sentence and a remedy."""

    sentence: str
    remedy: str

    def __new__(cls, code: str, sentence: str, remedy: str = "") -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        member.remedy = remedy
        return member


class Reason(ExplainedCode):
    # From the decision table.
    MISSING_ON_TARGET = "MissingOnTarget", "the target does not have it yet"
    IN_SYNC = "InSync", "the target has the same content"
    CERTIFICATE_RENEWED = "CertificateRenewed", "OPS has different content"
    SOURCE_CHANGED = "SourceChanged", "the route now sends another certificate under this name"
    KEYS_CHANGED = (
        "KeysChanged",
        "its keys beside tls.crt, tls.key and ca.crt are not those that the route sends",
    )
    METADATA_CHANGED = "MetadataChanged", "the route gives other labels or annotations than the copy has"
    DRIFTED = "Drifted", "the copy was edited on the target"
    WOULD_DOWNGRADE = (
        "WouldDowngrade",
        "the target has a certificate that is newer than OPS's",
        "find out who wrote the newer one; delete the copy if OPS's is the right one",
    )
    OWNED_BY_OTHER = (
        "OwnedByOther",
        "a Secret of that name exists and is not ours",
        "delete it, hand it over (annotation tls-sync.io/adopt: <owner>), or use another name (route)",
    )
    OWNED_BY_CERT_MANAGER = (
        "OwnedByCertManager",
        "a cert-manager on the target writes that Secret",
        "delete its Certificate there, or send the certificate under another name (route, `name`)",
    )
    OWNED_BY_HELM = (
        "OwnedByHelm",
        "a Helm release on the target manages that Secret",
        "take it out of the chart, or send the certificate under another name (route, `name`)",
    )
    OWNED_BY_ARGO_CD = (
        "OwnedByArgoCD",
        "an Argo CD application manages that Secret",
        "take it out of the application, or send the certificate under another name (route, `name`)",
    )
    OWNED_BY_FLUX = (
        "OwnedByFlux",
        "Flux manages that Secret",
        "take it out of Flux's source, or send the certificate under another name (route, `name`)",
    )
    OWNED_BY_CONTROLLER = (
        "OwnedByController",
        "another object on the target owns that Secret and its controller writes it (ownerReferences)",
        "delete the owner there, or send the certificate under another name (route, `name`)",
    )
    OWNED_BY_ANOTHER_OWNER = (
        "OwnedByAnotherOwner",
        "another tls-sync (another `owner`) wrote that Secret",
        "let only one of the two send it; if the other is gone for good, delete the Secret",
    )
    OWNED_BY_ANOTHER_SOURCE_CLUSTER = (
        "OwnedByAnotherSourceCluster",
        "a tls-sync of the same `owner` on another OPS cluster wrote that Secret",
        (
            "find out which OPS cluster wrote it, and give each its own `owner`; or, if this one replaces "
            "it, put its uid into source.formerClusterIds"
        ),
    )
    ADOPTED = "Adopted", "the target allowed the takeover (annotation tls-sync.io/adopt)"
    ADOPTION_WOULD_LOSE_KEYS = (
        "AdoptionWouldLoseKeys",
        "the takeover that it allows would remove keys that tls-sync does not send",
        (
            "keep them in another Secret, or send the certificate under another name (route, `name`); if "
            "they may be lost, annotate it with tls-sync.io/adopt: <owner>,lose-other-keys"
        ),
    )
    TYPE_DIFFERS = (
        "TypeDiffers",
        "our copy is not of type kubernetes.io/tls, which can't be changed in place",
        "delete the copy; the next run creates it",
    )
    IMMUTABLE = (
        "Immutable",
        "the copy carries the field `immutable`",
        "delete the copy (or take the field off, where it is false); the next run writes it",
    )
    UNREADABLE = (
        "Unreadable",
        "its metadata, as the target's API server lists it, can't be parsed, so the Secret is not written",
        "look at its metadata (`kubectl get secret --output yaml`); if the copy is ours, delete it",
    )
    TERMINATING = (
        "Terminating",
        "the copy is being deleted",
        "remove its finalizers; the next run creates it",
    )
    HOSTNAME_NOT_ALLOWED = (
        "HostnameNotAllowed",
        "the certificate has a name that may not be sent to this cluster",
        (
            "route it elsewhere, or narrow the glob that matches it, or, if it belongs there, add the DNS "
            "name to `hostnames`; names that are no DNS names are never sent"
        ),
    )
    INVALID_TARGET_NAME = (
        "InvalidTargetName",
        "the placeholders of the route yield no valid name for it",
        (
            "let the glob's * take a DNS label (a-z, 0-9 and -, at most 63), narrow the glob, or give the "
            "certificate a route of its own"
        ),
    )
    TARGET_COLLISION = (
        "TargetCollision",
        "the routes send several certificates under this name, so none of them is written",
        "narrow the globs, or use {name} in the route's `name`",
    )
    MISSING_KEY = (
        "MissingKey",
        "the route sends a key that the Secret on OPS does not have",
        (
            "ask cert-manager for it (additionalOutputFormats or keystores of the Certificate), or remove it "
            "from the route's `keys`"
        ),
    )
    FORMAT_MISMATCH = (
        "FormatMismatch",
        "a combined format does not hold just what tls.crt and tls.key hold",
        "re-issue the certificate (`cmctl renew`), or remove the key from the route's `keys`",
    )
    SOURCE_UNREAD = (
        "SourceUnread",
        "its certificate could not be read from OPS, so the copy was not compared with it",
        "see the failure of OPS in the same report; the next run compares it",
    )
    MISSING_ON_SOURCE = (
        "MissingOnSource",
        "a route names it, but OPS has no such certificate",
        "correct the name in the route, or create the Certificate on OPS",
    )
    ISSUANCE_PENDING = (
        "IssuancePending",
        "cert-manager has not issued it yet",
        "nothing to do: a run after the issuance sends it; after an hour, or a failed attempt, it is late",
    )
    ISSUANCE_LATE = (
        "IssuanceLate",
        "cert-manager should have issued it by now",
        ("see why: `cmctl status certificate NAME`, or describe its Certificate, Order and Challenge on OPS"),
    )
    GONE_FROM_SOURCE = (
        "GoneFromSource",
        "it is no longer on OPS",
        "the copy is kept; delete it by hand if nobody needs it",
    )
    PRUNED = (
        "Pruned",
        "it has been gone from OPS for a day and three runs, and this cluster is pruned",
    )
    NO_LONGER_ROUTED = (
        "NoLongerRouted",
        "no route sends it here any more; the copy is kept",
        "delete the copy by hand if nobody needs it",
    )
    # From what Certificates on OPS ask for (selfService).
    REQUEST_BEYOND_LIMITS = (
        "RequestBeyondLimits",
        "its Certificate asks for a copy that no limit of selfService allows",
        (
            "correct the annotation tls-sync.io/to in the Certificate's spec.secretTemplate, or, if the copy "
            "is wanted, extend a limit of `selfService`"
        ),
    )
    REQUEST_INVALID = (
        "RequestInvalid",
        "its Certificate's annotation tls-sync.io/to can't be used, so nothing that it asks for is done",
        (
            "write cluster/namespace, several with commas in between and at most 100, into the Certificate's "
            "spec.secretTemplate.annotations"
        ),
    )
    REQUEST_CONFLICT = (
        "RequestConflict",
        "another Certificate writes its Secret, or a route sends another certificate under this name",
        "let one Certificate write the Secret, and one certificate of OPS have that name in that namespace",
    )
    # From the checks on OPS.
    MISSING_DATA = (
        "MissingData",
        "tls.crt or tls.key is missing or empty",
        "wait for cert-manager's first issuance, or look at the Certificate's status",
    )
    TOO_LARGE = (
        "TooLarge",
        "its data is too large to be a certificate",
        "look at what was put into the Secret",
    )
    INVALID_ENCODING = (
        "InvalidEncoding",
        "its data is not what an API server writes (base64)",
        "re-issue the certificate",
    )
    UNEXPECTED_BLOCK = (
        "UnexpectedBlock",
        "a PEM block is missing, damaged, or not allowed there",
        "re-issue the certificate; tls.crt and ca.crt hold certificates only, tls.key one key",
    )
    ENCRYPTED_KEY = ("EncryptedKey", "its key is encrypted", "store the key unencrypted")
    INVALID_CERTIFICATE = (
        "InvalidCertificate",
        "a certificate can't be parsed",
        "re-issue the certificate",
    )
    INVALID_KEY = ("InvalidKey", "the key can't be parsed", "re-issue the certificate")
    KEY_MISMATCH = (
        "KeyMismatch",
        "key and certificate do not belong together",
        "re-issue the certificate (`cmctl renew`)",
    )
    BROKEN_KEY = (
        "BrokenKey",
        "the parts of the key contradict each other, or what it signs can't be verified with the certificate",
        "re-issue the certificate with a new key",
    )
    WEAK_KEY = (
        "WeakKey",
        "the key is too weak or of an unusual kind",
        "use RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519",
    )
    WEAK_SIGNATURE = (
        "WeakSignature",
        "a certificate in tls.crt is signed with SHA-1, MD5 or another hash that clients refuse",
        "have it issued by an authority that signs with SHA-256, SHA-384 or SHA-512",
    )
    TEMPORARY = (
        "TemporaryCertificate",
        "it is cert-manager's temporary certificate",
        "wait for the issuance, or look at the Certificate's status",
    )
    IS_CA = (
        "IsCA",
        "it is a certificate authority, whose key must not leave OPS",
        "route leaf certificates only",
    )
    SELF_SIGNED = (
        "SelfSigned",
        "it is signed with its own key",
        "have it issued by a certificate authority, or set source.allowSelfSigned",
    )
    CHAIN_ORDER = (
        "ChainOrder",
        "no valid authority among the certificates in tls.crt has issued the leaf",
        "put the leaf first, and beside it the valid authority that issued it",
    )
    NOT_YET_VALID = (
        "NotYetValid",
        "its notBefore lies in the future",
        "check the clocks of OPS and of the issuer",
    )
    EXPIRED = ("Expired", "its notAfter has passed", "find out why cert-manager does not renew it")
    NOT_READY = (
        "NotReady",
        "cert-manager says that the Secret does not fit its Certificate",
        "look at the Certificate's status on OPS",
    )
    EXAMINATION_FAILED = (
        "ExaminationFailed",
        "its check ended with an unexpected error; only this Secret is not sent",
        "re-issue the certificate; report the error type named here: tls-sync or a library has a defect",
    )


REQUESTS = frozenset({Reason.REQUEST_BEYOND_LIMITS, Reason.REQUEST_INVALID, Reason.REQUEST_CONFLICT})
"""Reasons of what a Certificate asks for and does not get: a person is told, and nothing fails."""
QUIET = REQUESTS | frozenset(
    {
        Reason.IN_SYNC,
        Reason.ISSUANCE_PENDING,
        Reason.GONE_FROM_SOURCE,
        Reason.NO_LONGER_ROUTED,
        Reason.PRUNED,
    }
)
"""Reasons with which a row that writes nothing is not a failure."""
NOT_OURS = frozenset(reason for reason in Reason if reason.startswith("OwnedBy")) | {
    Reason.ADOPTION_WOULD_LOSE_KEYS
}
"""Reasons with which a Secret on a target is not a copy of ours."""
