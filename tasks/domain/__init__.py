"""The nouns of tls-sync: facts, reasons, failure codes, errors and names. No key material, no I/O."""
