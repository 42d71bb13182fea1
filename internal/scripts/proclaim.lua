-- proclaim: put what a leader says beside its lock, to live as long as that does, unless what it has said later is there.
-- KEYS 1 lock, 2 value
-- ARGV 1 token, 2 the number of what it says, higher than before, 3 the rest of it, 4 its life in ms where the lock has no end
-- The value is all three, with a space between them.
-- Replies 1 when it is there, or what was said later; 0 nothing is there for a lock, -1 somebody else's is.

-- What a key holds, and no more of it than a token can have, and one byte: it may be somebody else's, and huge.
local function value(key)
  local text = redis.pcall('GETRANGE', key, '0', '1024')
  if text == '' or type(text) == 'table' then -- nothing is there, or GETRANGE is not permitted
    return redis.call('GET', key)
  end
  return text
end

local holder = value(KEYS[1])
if holder ~= ARGV[1] then
  return holder and -1 or 0
end
local said = value(KEYS[2]) or ''
if string.sub(said, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' then
  local number = string.match(said, '^%d+', #ARGV[1] + 2)
  if number and tonumber(number) > tonumber(ARGV[2]) then
    return 1
  end
end
local left = redis.call('PTTL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3], 'PX', left > 0 and left or ARGV[4])
return 1
