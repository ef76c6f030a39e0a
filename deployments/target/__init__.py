"""The former form of `tls-sync rights`, for this release."""
