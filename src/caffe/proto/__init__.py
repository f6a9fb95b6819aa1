"""Messages of Caffe's protocol buffers."""
