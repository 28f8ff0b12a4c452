"""Pure decisions: no I/O, no clock, no state. Everything they need is an argument."""
