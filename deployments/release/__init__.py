"""Builds and publishes a release: image, chart, lists of contents, checksums (docs/releasing.md)."""
