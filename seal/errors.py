"""The one exception that a user can fix: programs print it as a single line and exit with 2."""


class UserError(Exception):
    """Something outside the program is wrong: a file, a flag, a server, a full disk.

    The message is one line that names the thing (file and row where there is one) and the fix.
    """
