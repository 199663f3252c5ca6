#include "daemon/shiftctl/pool_screen.hpp"

#include <gtest/gtest.h>

namespace shiftd {
namespace {

TEST(PoolScreen, ShowsStoresViewsHandsAndWhatDiffers) {
  auto page = draw_pools(R"({"pools":[{"pool":"eqiad/web/app","trouble":"","rollout":"web-7",
    "views":[{"name":"lvs1/app_80","trouble":"","closed":["be3 is down but pooled"]},{"name":"lvs2/app_80","trouble":"refused","closed":[]}],
    "members":[
     {"host":"web1","member":"web1","pooled":"no","weight":100,"bytes":"{}","revision":"a:7","drift":[],"holder":"ours",
      "original_pooled":"yes","original_weight":100,"original_bytes":"{}","restore":"curl -X PUT 'x'",
      "views":[{"view":"lvs1/app_80","traffic":"draining","health":"up","weight":0,"connections":3,"why":""},
               {"view":"lvs2/app_80","traffic":"cannot_tell","health":"unknown","weight":0,"connections":0,"why":"refused"}]},
     {"host":"","member":"old\u001b[1m","malformed":"no JSON","bytes":"x","revision":"a:8","drift":["lvs1/app_80 has taken up yes, weight 7"],
      "holder":"theirs","original_pooled":"yes","original_weight":7,"original_bytes":"",
      "views":[{"view":"lvs1/app_80","traffic":"flowing","health":"down","weight":7,"connections":0,"why":""},
               {"view":"lvs2/app_80","traffic":"none","health":"unchecked","weight":0,"connections":0,"why":""}]}]}]})");
  ASSERT_TRUE(page) << page.error();
  EXPECT_EQ(*page, R"(eqiad/web/app  in the hands of web-7
  lvs1/app_80 wants nothing written now: be3 is down but pooled
  lvs2/app_80 does not answer: refused
  MEMBER                     STORE      lvs1/app_80          lvs2/app_80  IN THE HANDS OF  ORIGINAL
  web1                       no 100     draining, 3 left up  cannot tell  web-7            yes 100
  old?[1m (no host of ours)  malformed  flowing 7 down       none         somebody else    yes 7
  malformed old?[1m: no JSON: x
  drift old?[1m: lvs1/app_80 has taken up yes, weight 7
  restore web1: curl -X PUT 'x'
)");
}

TEST(PoolScreen, ShowsAPoolThatNobodyHolds) {
  auto page = draw_pools(R"({"pools":[{"pool":"lb1/app","trouble":"no answer within 1s","rollout":"","views":[],"members":[
     {"host":"web1","member":"s1","drift":[],"views":[]},{"host":"web2","member":"s2","missing":true,"drift":[],"views":[]}]}]})");
  ASSERT_TRUE(page) << page.error();
  EXPECT_EQ(*page, "lb1/app\n  its store does not answer: no answer within 1s\n  MEMBER  STORE\n  s1      ?\n  s2      missing\n");
}

TEST(PoolScreen, RefusesWhatTheApiDoesNotAnswer) {
  for (const char* text :
       {"", "[]", "{}", R"({"pools":[{}]})", R"({"pools":[{"views":[],"members":[{"pooled":7,"views":[],"drift":[]}]}]})"}) {
    auto page = draw_pools(text);
    ASSERT_FALSE(page) << text;
    EXPECT_EQ(page.error().code, Errc::unexpected_reply);
  }
}

}  // namespace
}  // namespace shiftd
