"""Names in other languages than English: the words for heads, widths, masks, queries, keys and values in English."""

from __future__ import annotations

import re
from functools import cache

# Words that mean nothing else in code that is written in English; accents are often left out.
_ENGLISH = {
    # French
    "tete": "head", "tetes": "heads", "tête": "head", "têtes": "heads", "modele": "model", "modèle": "model",
    "masque": "mask", "masques": "masks", "requete": "query", "requetes": "queries", "requête": "query", "requêtes": "queries",
    "cle": "key", "cles": "keys", "clé": "key", "clés": "keys", "valeur": "value", "valeurs": "values", "sortie": "output",
    "nombre": "num", "entree": "input", "entrée": "input", "poids": "weights", "contexte": "context",
    # Spanish, Portuguese, Italian
    "cabeza": "head", "cabezas": "heads", "cabeca": "head", "cabecas": "heads", "cabeça": "head", "cabeças": "heads",
    "teste": "heads", "testa": "head", "modelo": "model", "modello": "model", "mascara": "mask", "máscara": "mask",
    "maschera": "mask", "consulta": "query", "consultas": "queries", "clave": "key", "claves": "keys", "chave": "key",
    "chaves": "keys", "chiave": "key", "chiavi": "keys", "valor": "value", "valores": "values", "valore": "value",
    "valori": "values", "salida": "output", "saida": "output", "saída": "output", "uscita": "output", "contexto": "context",
    "contesto": "context", "numero": "num", "entrada": "input", "ingresso": "input",
    # German, Dutch
    "kopf": "head", "koepfe": "heads", "köpfe": "heads", "modell": "model", "maske": "mask", "abfrage": "query",
    "anfrage": "query", "anfragen": "queries", "schluessel": "key", "schlüssel": "key", "wert": "value", "werte": "values",
    "ausgabe": "output", "eingabe": "input", "anzahl": "num", "breite": "width", "kontext": "context", "hoofden": "heads",
    "sleutel": "key",
    # Polish, Turkish
    "glowy": "heads", "głowy": "heads", "glowic": "heads", "głowic": "heads", "maska": "mask", "zapytanie": "query",
    "klucz": "key", "wartosc": "value", "wartość": "value", "liczba": "num", "baslik": "head",
    "sorgu": "query", "anahtar": "key", "deger": "value", "değer": "value", "sayisi": "num",
}  # fmt: skip
_LINKS = {"de", "des", "du", "da", "di", "der", "la", "le", "les", "el", "las", "los"}
_COUNTS = {"nombre", "numero", "anzahl", "liczba", "num", "n"}  # before a link: nombre_de_tetes
_PARTS = re.compile(r"[^\W\d_]+|\d+")
_HUMPS = re.compile(r"[A-ZÀ-Þ]?[a-zß-ÿ]+|[A-ZÀ-Þ]+(?![a-zß-ÿ])")


@cache
def in_english(name: str) -> str:
    """Return a name with what it has of such words in English, in small letters; any other name as it is."""
    words = [hump.lower() for part in _PARTS.findall(name) for hump in (_HUMPS.findall(part) or [part])]
    if not any(word in _ENGLISH for word in words):
        return name
    if words[0] in _COUNTS:
        words = [word for word in words if word not in _LINKS]
    return "_".join(_ENGLISH.get(word, word) for word in words)
