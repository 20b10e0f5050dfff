"""Stems of corpora rendered again, so that they match another song: for ``mix --match``.

``grid`` says where the beats of a score are, ``excerpt`` what is sent to a synthesiser for part of
a part under another tempo and in another key, ``render`` makes audio of it, and ``matcher`` joins
these to what `stemsmith.mixing` asks for.
"""
