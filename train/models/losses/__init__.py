"""What training minimises: a file each, which offers its `Loss` under the name ``LOSS``.

Sums over bins in the papers' equations are means here, unless said otherwise, so that losses of
other batch sizes and segment lengths compare; that scales gradients, which Adam does not notice.
"""
