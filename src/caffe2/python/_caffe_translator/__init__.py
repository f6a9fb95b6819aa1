"""How `caffe_translator` works: the register of translators, the translators, and Caffe's rounding of windows."""
