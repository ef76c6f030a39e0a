"""Labels, annotations and names that tls-sync writes on a Secret or reads from it."""

from tasks.domain.further_keys import FURTHER_KEYS

FIELD_MANAGER = "tls-sync"
SECRET_TYPE = "kubernetes.io/tls"  # noqa: S105  a type, not a secret
COPIED_KEYS = frozenset({"tls.crt", "tls.key", "ca.crt"})
"""What each copy has, as far as OPS has it."""
SENDABLE_KEYS = COPIED_KEYS | FURTHER_KEYS

MANAGED_BY = "app.kubernetes.io/managed-by"
OWNER = "tls-sync.io/owner"
SOURCE = "tls-sync.io/source"
FINGERPRINT = "tls-sync.io/fingerprint"
NOT_BEFORE = "tls-sync.io/not-before"
NOT_AFTER = "tls-sync.io/not-after"
SERIAL = "tls-sync.io/serial"
SOURCE_CLUSTER = "tls-sync.io/source-cluster"
"""The uid of OPS's kube-system. Copies written by earlier versions get it with their next renewal."""

KEYS = "tls-sync.io/keys"
"""The further keys of the copy with their digests; absent where the route sends none. See plan/further.py."""
ROUTE_METADATA = "tls-sync.io/metadata"
"""The keys of the labels and annotations that the route gave the copy; absent where it gave none."""

ADOPT = "tls-sync.io/adopt"
"""Set on the target by its administrators: the owner that may take over the Secret."""
LOSE_KEYS = "lose-other-keys"
"""`<owner>,lose-other-keys` allows the takeover of a Secret whose other keys are lost by it."""
PRUNE = "tls-sync.io/prune"
"""`"false"`, set on the target: this copy is never deleted."""
ORPHANED_SINCE = "tls-sync.io/orphaned-since"
ORPHANED_SEEN = "tls-sync.io/orphaned-seen"
ORPHANED_RUNS = "tls-sync.io/orphaned-runs"
PRUNE_MANAGER = "tls-sync-prune"
"""The field manager of these annotations, so that FIELD_MANAGER does not own them."""
PIN = "tls-sync.io/cluster-id"
"""On the Secret with a discovered cluster's kubeconfig: the uid of its kube-system, set by a person."""
NOTE = "tls-sync.io/source-version"
"""The version of the source Secret that the copy was last compared with; see plan/note.py."""
NOTE_MANAGER = "tls-sync-note"
"""The field manager of this annotation: owned by FIELD_MANAGER, it would make copies without it Drifted."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

REQUEST = "tls-sync.io/to"
"""In the secretTemplate of a Certificate on OPS: where its team asks that the Secret be copied."""

LABELS = frozenset({MANAGED_BY, OWNER})
ANNOTATIONS = frozenset({SOURCE, FINGERPRINT, NOT_BEFORE, NOT_AFTER, SERIAL})
METADATA = LABELS | ANNOTATIONS
STAMPED = METADATA | {SOURCE_CLUSTER}
ORPHAN_MARKS = frozenset({ORPHANED_SINCE, ORPHANED_SEEN, ORPHANED_RUNS})
OWN_METADATA = STAMPED | {ROUTE_METADATA, KEYS}
READ_ANNOTATIONS = OWN_METADATA | ORPHAN_MARKS | {ADOPT, PRUNE, NOTE}
