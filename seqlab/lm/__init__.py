"""n-gram language models: estimate, read, write, look up; the model is in ngram. Importing the room loads nothing."""
