// Nothing but the precompiled header that the tests share: CMake wants a file to make it for.
