"""A checkup of this machine: `parts` first, then all the rest in `checkup`."""
