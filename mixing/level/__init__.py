"""How loud: ``loudness`` the ITU-R BS.1770 meter and its envelope, ``gains`` the automatic mix."""
