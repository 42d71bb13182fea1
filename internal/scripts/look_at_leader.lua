-- look at leader: who has the lock, for how long, and what a leader has said beside it.
-- KEYS 1 lock, 2 value
-- Replies {'', -2, value} when nobody has the lock, else {the holder's token, its time left in ms, value}. The value is
-- '' when there is none.

-- What a key holds, and no more of it than there can be of ours, and one byte: it may be somebody else's, and huge.
local function value(key, last)
  local text = redis.pcall('GETRANGE', key, '0', last)
  if text == '' or type(text) == 'table' then -- nothing is there, or GETRANGE is not permitted
    text = redis.pcall('GET', key)
  end
  return text
end

local holder = value(KEYS[1], '1024')
if type(holder) == 'table' then
  return holder
end
local said = value(KEYS[2], '2048')
if type(said) ~= 'string' then -- nothing is there, or what is no value
  said = ''
end
return {string.sub(holder or '', 1, 1025), redis.call('PTTL', KEYS[1]), string.sub(said, 1, 2049)}
