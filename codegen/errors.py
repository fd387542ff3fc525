"""What can go wrong when code is made, besides the tables themselves (those raise `TableError`)."""


class GenerateError(Exception):
    """Nothing was written; the message says what to do."""


class RepositoryNotFound(GenerateError):
    """There is no bargein repository here. Generated code belongs into one, or into a folder you name."""


class RenderError(GenerateError):
    """The templates made something that is not Python: a defect of a template, or a name no check caught."""


class ForeignFile(GenerateError):
    """A file of that name exists and was not made by the generator, so it is not overwritten."""
