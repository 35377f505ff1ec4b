"""The one error that people who use EmberFormer are meant to act on."""


class InputError(Exception):
    """Something given to EmberFormer cannot be used as it is.

    The command line prints it without a traceback, so the four parts must be enough to act on.

    Args:
        where: file, configuration key or coordinate that is at fault.
        found: what stands there.
        expected: what should stand there.
        remedy: what to do about it.
    """

    def __init__(self, where: object, found: str, expected: str, remedy: str):
        self.where, self.found, self.expected, self.remedy = str(where), found, expected, remedy
        super().__init__(f"{where}\n  found:    {found}\n  expected: {expected}\n  remedy:   {remedy}")

    def __reduce__(self):
        """As an error that another process can raise again."""
        return type(self), (self.where, self.found, self.expected, self.remedy)
