"""Data types, reasons, failure codes, errors and names. No key material, no I/O."""
