"""Compares what is desired with what is there and decides what to do. Pure: no request, no clock, no log."""
