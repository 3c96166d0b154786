"""A checkup of this machine: one file for each part that is looked at; `checkup` has them all."""
