"""Pure machines: every decision in real time, without a clock, a task or any I/O."""
