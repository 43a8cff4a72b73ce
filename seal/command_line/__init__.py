"""Programs on the command line: flags, what they may say, and how a program ends."""
