"""The command lines: arguments in, one line out; what they do stands elsewhere."""
