# coding=utf-8
"""Counts the words of a text, and names the most frequent ones."""

import re
from collections import Counter


def work(text, top=3):
    words = re.findall(r"\w+", text.lower())
    counts = Counter(words)
    return {
        "result": {"words": len(words), "different": len(counts), "top": counts.most_common(top)},
        "count": len(words),
    }


if __name__ == "__main__":
    print(work("the quick brown fox jumps over the lazy dog"))
