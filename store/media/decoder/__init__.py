"""The helper process that opens files from outside: decoding, conversion, sound and colour."""
