"""The peer of P1: the same codes from a plain script. Prints nanoseconds per code."""

import hashlib
import hmac
import secrets
import time

SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
VALUES = {symbol: value for value, symbol in enumerate(SYMBOLS)}
SECRET = b"a secret for benchmarks, known to everyone"
CODES = 100_000

POWERS = [1]
while len(POWERS) < 64:
    doubled = POWERS[-1] << 1
    POWERS.append(doubled ^ 0b100101 if doubled & 32 else doubled)


def times(a, b):
    product = 0
    for bit in range(5):
        if b >> bit & 1:
            product ^= a << bit
    for bit in (8, 7, 6, 5):
        if product >> bit & 1:
            product ^= 0b100101 << (bit - 5)
    return product


PRODUCTS = [{symbol: times(power, value) for symbol, value in VALUES.items()} for power in POWERS]
CHECKS = {times(POWERS[31], value): symbol for symbol, value in VALUES.items()}


def mint():
    random = "".join(secrets.choice(SYMBOLS) for _ in range(25))
    digest = hmac.digest(SECRET, b"tag" + b"TGCA" + random.encode(), "sha256")
    bits = int.from_bytes(digest[:4], "big") >> 2
    tag = "".join(SYMBOLS[bits >> shift & 31] for shift in (25, 20, 15, 10, 5, 0))
    code = random[:8] + tag + random[8:]
    total = 0
    for products, symbol in zip(PRODUCTS, code):
        total ^= products[symbol]
    return code + CHECKS[total]


start = time.perf_counter()
codes = set()
while len(codes) < CODES:
    codes.add(mint())
rows = [(code, hmac.digest(SECRET, b"lookup" + code.encode(), hashlib.sha256)[:16]) for code in sorted(codes)]
print(round((time.perf_counter() - start) * 1e9 / len(rows)))
