"""One file a kernel: the formula, its plain twin, and the fast version where there is one."""
