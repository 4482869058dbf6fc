"""Commands that need a module of their own: each offers a typer app the command line registers."""
