-- release and raise: delete the lock if it is ours, then raise the fence in its
-- cell of the table to ours: the tombstone that refuses an acquire of ours still on its way.
-- KEYS 1 lock, 2 table of fences    ARGV 1 token, 2 our fence, 3 the cell's first byte in the table, 4 its last
-- Replies 1 deleted, 0 nothing there, -1 somebody else's.
-- The delete goes first: without memory to spare only that is sure to pass.
-- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
local holder = redis.pcall('GETRANGE', KEYS[1], '0', '1024')
if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
  holder = redis.call('GET', KEYS[1])
end
local answer = holder and -1 or 0
if holder == ARGV[1] then
  answer = redis.call('DEL', KEYS[1])
end
local text = redis.pcall('GETRANGE', KEYS[2], ARGV[3], ARGV[4])
if type(text) == 'table' then -- GETRANGE is not permitted, or it is no table of ours
  text = redis.pcall('GET', KEYS[2]) or ''
  if type(text) == 'table' then -- no acquire passes it
    return answer
  end
  text = string.sub(text, ARGV[3] + 1, ARGV[4] + 1)
end
local fence = 0
for i = 1, 7 do -- the highest byte first; behind the end of the table there are zeros
  fence = fence * 256 + (string.byte(text, i) or 0)
end
local ours, bytes = tonumber(ARGV[2]), {}
if fence < ours then
  for i = 7, 1, -1 do
    bytes[i] = ours % 256
    ours = math.floor(ours / 256)
  end
  redis.pcall('SETRANGE', KEYS[2], ARGV[3], string.char(unpack(bytes)))
end
return answer
