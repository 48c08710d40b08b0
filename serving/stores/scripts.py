"""What runs inside Redis: Lua scripts, each atomic, each written to the append-only file as a whole.

Keys, all under ``waymark:``: streams ``log`` and ``answers``, each with a group ``drain`` and
``STREAM:claim``, the last position claimed; ``forgotten`` (set); ``seen:0:ASSOCIATE`` and
``seen:1:ASSOCIATE``, by turns (hash from page to first visit and last completion, big-endian doubles);
``ids:PERIOD:BUCKET`` (hash of event ids' hashes, small enough for Redis to pack it);
``answer:REQUEST`` (position in ``answers``); ``answers_of:ASSOCIATE`` (list of positions);
``lists:RELEASE:SHARD`` (hash by associate); ``releases`` (sorted set). Keys are made from arguments, so
this is for one Redis or one with replicas, no cluster.
"""

PREFIX = "waymark:"
# The latest answers to an associate that are found by the associate.
RECENT = 50

_FORGOTTEN = """
local function forgotten(associate)
  return redis.call('SISMEMBER', 'waymark:forgotten', associate) == 1
end
"""

# ARGV: seconds of a period of ids, of a turn of activity; then for each event: head (16 bytes hash of the
# id, one of 0 other / 1 engagement / 2 completion, 8 bytes time), associate, page, payload.
# Gives a digit for each event: 0 known or forgotten, 1 new, 2 new and a first engagement.
APPEND = (
    _FORGOTTEN
    + """
local period, turn = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = tonumber(redis.call('TIME')[1])
local generation = math.floor(now / period)
local current, before = 'waymark:ids:' .. generation .. ':', 'waymark:ids:' .. generation - 1 .. ':'
-- What is known of an associate expires as a whole, so each turn begins a new hash and the one before
-- is still read.
local number = math.floor(now / turn)
local seen_now, seen_before = 'waymark:seen:' .. number % 2 .. ':', 'waymark:seen:' .. (number + 1) % 2 .. ':'
local marks, touched = {}, {}
for i = 3, #ARGV, 4 do
  local head, associate, page = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local bucket, id = string.sub(head, 1, 2), string.sub(head, 3, 16)
  local mark = '0'
  if not forgotten(associate)
    and redis.call('HEXISTS', before .. bucket, id) == 0
    and redis.call('HSETNX', current .. bucket, id, '') == 1 then
    if redis.call('HLEN', current .. bucket) == 1 then
      redis.call('EXPIRE', current .. bucket, 2 * period)
    end
    mark = '1'
    local kind = string.byte(head, 17)
    if kind > 0 then
      local seen = seen_now .. associate
      local time = string.sub(head, 18)
      local visit, completion = time, kind == 2 and time or ''
      local known = redis.call('HGET', seen, page) or redis.call('HGET', seen_before .. associate, page)
      if known then
        local at = struct.unpack('>d', time)
        if struct.unpack('>d', known) < at then visit = string.sub(known, 1, 8) end
        local last = string.sub(known, 9)
        if last ~= '' and (completion == '' or struct.unpack('>d', last) > at) then completion = last end
      else
        mark = '2'
      end
      redis.call('HSET', seen, page, visit .. completion)
      touched[seen] = true
    end
    redis.call('XADD', 'waymark:log', '*', 'a', associate, 'e', ARGV[i + 3], 'f', mark)
  end
  marks[#marks + 1] = mark
end
for seen in pairs(touched) do redis.call('EXPIREAT', seen, (number + 2) * turn) end
return table.concat(marks)
"""
)

# ARGV: associates. Gives for each nil where forgotten, else entries of: 2 bytes length of the page, page,
# 1 byte length of the times, times.
ACTIVITY = (
    _FORGOTTEN
    + """
local out = {}
for i, associate in ipairs(ARGV) do
  if forgotten(associate) then
    out[i] = false
  else
    local parts = {}
    for turn = 0, 1 do
      local seen = redis.call('HGETALL', 'waymark:seen:' .. turn .. ':' .. associate)
      for j = 1, #seen, 2 do
        parts[#parts + 1] = struct.pack('>HBc0c0', #seen[j], #seen[j + 1], seen[j], seen[j + 1])
      end
    end
    out[i] = table.concat(parts)
  end
end
return out
"""
)

# Entries of both streams as they are given out: 2 bytes length of the associate, associate, 2 bytes
# length of the third field, third field, second field.
_GIVE = """
local function give(entries, out)
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    if not forgotten(fields[2]) then
      out[#out + 1] = struct.pack('>Hc0Hc0c0', #fields[2], fields[2], #fields[6], fields[6], fields[4])
    end
  end
  return out
end
"""

# KEYS: stream. ARGV: position before, last position, limit. Gives the position reached, then entries.
READ = (
    _FORGOTTEN
    + _GIVE
    + """
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local found = redis.call('XRANGE', KEYS[1], from, ARGV[2], 'COUNT', ARGV[3])
return give(found, {#found > 0 and found[#found][1] or ARGV[1]})
"""
)

# The stream's group stands at the last position that was settled. It has no consumer: what would be
# pending is all between there and the claim, and to settle it is one step however much it is.
_SETTLED = """
local function settled()
  redis.pcall('XGROUP', 'CREATE', KEYS[1], 'drain', '0', 'MKSTREAM')
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    if group[2] == 'drain' then return group[8] end
  end
end
"""

# KEYS: stream, claim. Gives the position settled and the one claimed, or nil.
CLAIMED = _SETTLED + "return {settled(), redis.call('GET', KEYS[2])}"

# KEYS: stream, claim. ARGV: the position claimed.
SETTLE = """
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('XGROUP', 'SETID', KEYS[1], 'drain', ARGV[1])
  redis.call('DEL', KEYS[2])
end
"""

# KEYS: stream. ARGV: milliseconds. Deletes what was settled and is older; gives how many.
TRIM = (
    _SETTLED
    + """
local ms, sequence = string.match(settled(), '(%d+)-(%d+)')
local first = ARGV[1] .. '-0'
if tonumber(ms) < tonumber(ARGV[1]) then first = string.format('%s-%.0f', ms, tonumber(sequence) + 1) end
return redis.call('XTRIM', KEYS[1], 'MINID', first)
"""
)

# KEYS: stream. ARGV: associate, position, limit. Deletes the associate's entries within the next ones;
# gives the position to go on from, or nil at the end.
FORGET = """
local found = redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3])
for _, entry in ipairs(found) do
  local fields = entry[2]
  if fields[2] == ARGV[1] then
    redis.call('XDEL', KEYS[1], entry[1])
    if fields[5] == 'r' then redis.call('DEL', 'waymark:answer:' .. fields[6]) end
  end
end
if #found < tonumber(ARGV[3]) then return false end
return '(' .. found[#found][1]
"""

# ARGV: seconds for which an answer is found, then for each answer: associate, request id, data.
RECORD = (
    _FORGOTTEN
    + f"""
for i = 2, #ARGV, 3 do
  local associate, answer = ARGV[i], 'waymark:answer:' .. ARGV[i + 1]
  local known = redis.call('GET', answer)
  -- What was trimmed since is not there any more, whatever its key says.
  if known and #redis.call('XRANGE', 'waymark:answers', known, known) == 0 then known = false end
  if not known and not forgotten(associate) then
    local id = redis.call('XADD', 'waymark:answers', '*', 'a', associate, 'e', ARGV[i + 2], 'r', ARGV[i + 1])
    redis.call('SET', answer, id, 'EX', ARGV[1])
    if associate ~= '' then
      local own = 'waymark:answers_of:' .. associate
      redis.call('LPUSH', own, id)
      redis.call('LTRIM', own, 0, {RECENT - 1})
      redis.call('EXPIRE', own, ARGV[1])
    end
  end
end
"""
)

# ARGV: request id, or associate and limit. Gives entries.
ANSWERS = (
    _FORGOTTEN
    + _GIVE
    + """
local ids
if #ARGV == 1 then
  ids = {redis.call('GET', 'waymark:answer:' .. ARGV[1]) or nil}
else
  ids = redis.call('LRANGE', 'waymark:answers_of:' .. ARGV[1], 0, ARGV[2] - 1)
end
local out = {}
for _, id in ipairs(ids) do give(redis.call('XRANGE', 'waymark:answers', id, id), out) end
return out
"""
)

# KEYS: document. ARGV: value, whether a value is expected, the value expected.
PUT_IF = """
local now = redis.call('GET', KEYS[1])
if now ~= (ARGV[2] == '1' and ARGV[3]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""

# KEYS: what the keys of the release's lists begin with. ARGV: lists, each 2 bytes shard, 2 length of the
# associate, 4 length of the list, associate, list. One argument of a megabyte: Redis then syncs its
# append-only file once a megabyte, not once for each piece that it reads from the connection.
PUT_LISTS = """
local packed, at = ARGV[1], 1
while at <= #packed do
  local shard, name, size
  shard, name, size, at = struct.unpack('>HHI4', packed, at)
  local value = at + name
  local associate, list = string.sub(packed, at, value - 1), string.sub(packed, value, value + size - 1)
  redis.call('HSET', KEYS[1] .. shard, associate, list)
  at = value + size
end
"""

ALL = (APPEND, ACTIVITY, READ, CLAIMED, SETTLE, TRIM, FORGET, RECORD, ANSWERS, PUT_IF, PUT_LISTS)
