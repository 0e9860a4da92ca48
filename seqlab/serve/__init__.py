"""Models behind HTTP and WebSocket, with a page: what ``seqlab serve`` runs. Needs ``pip install 'seqlab[serve]'``."""
