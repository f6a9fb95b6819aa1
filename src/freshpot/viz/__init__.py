"""Pictures: graphs of nets, blobs, charts, and the HTML report. One renderer a file; plain data in."""
