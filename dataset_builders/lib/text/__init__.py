"""Text corpora: documents from files and the hub, built-in sample stories, writing token rows."""
