"""What a hostile user writes (`corpus`), where it must not arrive (`output`), and every text of a value (`values`)."""
