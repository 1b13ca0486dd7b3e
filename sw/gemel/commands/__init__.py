"""The subcommands of `gemel`, one file each."""
