"""The room `review`: what people have to read, what they said, and what it says of the rest."""
