"""The built-in music: styles, songs, instruments, rendering."""
