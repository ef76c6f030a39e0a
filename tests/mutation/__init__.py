"""Mutation tests: the code is changed in small ways, and each change must turn a test red."""
