"""Commands that need a module of their own: each offers a typer app or a function the command line registers."""
