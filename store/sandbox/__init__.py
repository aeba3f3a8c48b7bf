"""The sandbox: the boundary around every helper process that opens a file from outside."""
