"""Built-in synthetic music: styles, songs, instruments, rendering."""
