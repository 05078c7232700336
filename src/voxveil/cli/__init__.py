"""The command line: words in, files and plain sentences out."""
