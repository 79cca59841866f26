-- For wrk with as many threads as connections: each thread is a client that begins an upload and asks for its URL.
-- Arguments: "one" where a POST gives the URL too, "two" where a GET must follow; and the size of a blob.

local uploads = "/v2/bench/blob/blobs/uploads/"
local size, location, terms
local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("number", threads)
end

local function new_terms()
    local hex = {}
    for i = 1, 8 do
        hex[i] = string.format("%08x", math.random(0, 4294967295))
    end
    return "?presigned=true&mode=put&size=" .. size .. "&digest=sha256:" .. table.concat(hex)
end

local function location_of(status, headers)
    location = status == 202 and (headers["location"] or headers["Location"]) or nil
end

function init(args)
    math.randomseed(os.time() * 100 + number)
    size = args[2]
    if args[1] == "two" then
        response = location_of
    end
end

function request()
    if location then
        -- A digest that was declared stays declared.
        local path = location:gsub("^http://[^/]+", "") .. terms
        location = nil
        return wrk.format("GET", path)
    end
    terms = new_terms()
    return wrk.format("POST", uploads .. terms)
end
