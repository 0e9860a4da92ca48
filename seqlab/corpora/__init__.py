"""One file per corpus: its story, its splits, and ``prepare``, which writes its manifests."""
