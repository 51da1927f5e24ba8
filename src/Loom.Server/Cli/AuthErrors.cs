namespace Loom.Server.Cli;

/// <summary>The part of the catalogue that is about users, roles and tokens.</summary>
internal static class AuthErrors
{
    public static IReadOnlyList<ErrorEntry> All { get; } =
    [
        new("LOOM1050", "authentication required", "Authentication is enabled, and the call came without a token.", "give --user NAME[:PASSWORD], or LOOM_USER"),
        new("LOOM1051", "user name empty", "A user needs a name.", "give one"),
        new("LOOM1052", "role name empty", "A role needs a name.", "give one"),
        new("LOOM1053", "authentication failed", "There is no such user, or the password is another; which of the two is not said.", "check both; root can set another password: etcdctl user passwd NAME"),
        new("LOOM1054", "permission not given", "A permission was to be granted and none was given, or its kind is none of read, write and readwrite.", "give the permission"),
        new("LOOM1055", "invalid auth management", "It would leave nobody who may change users (while authentication is enabled, root keeps his role, and both stay), or the permission's range holds no key.", "disable authentication first, or give a range whose end is above its start"),
        new("LOOM1056", "old auth revision", "Users or roles changed again and again while the call was under way, so it was judged anew again and again.", "retry"),
        new("LOOM1057", "no root user", "Authentication can only be enabled where somebody can change users afterwards.", "add the user: etcdctl user add root"),
        new("LOOM1058", "root has no root role", "Authentication can only be enabled where somebody can change users afterwards.", "give it the role: etcdctl user grant-role root root"),
        new("LOOM1059", "user exists", "A user of this name exists.", "choose another name, or change that user"),
        new("LOOM1060", "user not found", "There is no user of this name.", "see the users with: etcdctl user list"),
        new("LOOM1061", "role exists", "A role of this name exists.", "choose another name, or change that role"),
        new("LOOM1062", "role not found", "There is no role of this name.", "see the roles with: etcdctl role list"),
        new("LOOM1063", "role not granted", "The user does not have this role.", "see his roles with: etcdctl user get NAME"),
        new("LOOM1064", "permission not granted", "The role has no permission on exactly this range.", "see its permissions with: etcdctl role get NAME, and give the range as it was granted"),
        new("LOOM1065", "authentication not enabled", "There are no tokens while authentication is not enabled.", "call without --user, or enable it: etcdctl auth enable"),
        new("LOOM1066", "permission denied", "No role of the user permits this. A transaction needs every permission of both its branches, a previous pair needs reading, and a lease needs writing on all its keys.", "see what he may do with: etcdctl user get NAME --detail; root can grant more"),
        new("LOOM1067", "invalid token", "The token is none of this cluster's, or it has ended: it was not used for --auth-token-ttl, the user was deleted or has another password, or the member has restarted.", "authenticate again"),
        new("LOOM1068", "no-password user", "The user was added without a password, and none will do.", "use another user, or delete it and add it with a password"),
        new("LOOM1069", "too many users or roles", "All of them are in every checkpoint and snapshot: at most 10,000 users, 10,000 roles, 1,000 roles of a user, 1,000 permissions of a role, 8 MiB together.", "let users share roles, and let permissions cover ranges"),
    ];
}
