using System.Buffers.Binary;
using System.Text;
using Loom.Raft;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Auth;

/// <summary>
/// Users and roles as a checkpoint or snapshot holds them. Equal states have equal bytes:
/// <code>
///   0 u8 format = 1 | 1 u8 flags (1 = enabled) | 2 i64 revision | 10 i64 revision at which it was enabled | 18 u32 users | 22 u32 roles | users | roles
///   user: name | u8 flags (1 = has a password) | i64 revision of the password | u8 length of its hash, the hash | u16 roles | the names of its roles, ascending
///   role: name | u16 permissions | per permission: u8 kind | u16 length of the start, the start | u16 length of the end, the end
///   name: u16 length, UTF-8
/// </code>
/// Little-endian, without a checksum of its own: <see cref="Applying.MachineState"/> says who guards it.
/// </summary>
internal static class AuthStateCodec
{
    private const byte Format = 1;
    private const byte Enabled = 1;
    private const byte HasPassword = 1;
    private const int HeaderBytes = 26;

    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public static int Size(AuthState state)
    {
        int size = HeaderBytes;
        foreach (AuthUser user in state.Users)
        {
            size += NameBytes(user.Name) + 1 + 8 + 1 + user.PasswordHash.Length + 2;
            foreach (string role in user.Roles)
            {
                size += NameBytes(role);
            }
        }

        foreach (AuthRole role in state.Roles)
        {
            size += NameBytes(role.Name) + 2;
            foreach (Permission permission in role.Permissions)
            {
                size += 1 + 2 + permission.Range.Start.Length + 2 + permission.Range.End.Length;
            }
        }

        return size;
    }

    public static byte[] Encode(AuthState state)
    {
        byte[] bytes = new byte[state.EncodedBytes];
        bytes[0] = Format;
        bytes[1] = state.IsEnabled ? Enabled : (byte)0;
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(2), state.Revision);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(10), state.EnabledRevision);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(18), state.Users.Count);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(22), state.Roles.Count);
        var writer = new Writer(bytes.AsSpan(HeaderBytes));
        foreach (AuthUser user in state.Users)
        {
            writer.Name(user.Name);
            writer.Byte(user.HasPassword ? HasPassword : (byte)0);
            writer.Long(user.CredentialsRevision);
            writer.Byte((byte)user.PasswordHash.Length);
            writer.Bytes(user.PasswordHash.Span);
            writer.Count(user.Roles.Count);
            foreach (string role in user.Roles)
            {
                writer.Name(role);
            }
        }

        foreach (AuthRole role in state.Roles)
        {
            writer.Name(role.Name);
            writer.Count(role.Permissions.Count);
            foreach (Permission permission in role.Permissions)
            {
                writer.Byte((byte)permission.Kind);
                writer.Count(permission.Range.Start.Length);
                writer.Bytes(permission.Range.Start.Span);
                writer.Count(permission.Range.End.Length);
                writer.Bytes(permission.Range.End.Span);
            }
        }

        return bytes;
    }

    /// <exception cref="RaftException">CannotOpen: a newer version wrote it. Corruption: nobody did.</exception>
    public static AuthState Decode(ReadOnlySpan<byte> bytes)
    {
        if (!bytes.IsEmpty && bytes[0] != Format)
        {
            throw new RaftException(RaftErrorCode.CannotOpen, $"The table of users and roles has format {bytes[0]}; this version of Loom knows {Format}. Start the version of Loom that wrote it.");
        }

        if (bytes.Length is < HeaderBytes or > AuthLimits.MaxBytes)
        {
            throw Damaged($"{bytes.Length} bytes");
        }

        if ((bytes[1] & ~Enabled) != 0)
        {
            throw new RaftException(RaftErrorCode.CannotOpen, $"The table of users and roles has flags {bytes[1]}, which this version of Loom does not know. Start the version of Loom that wrote it.");
        }

        long revision = BinaryPrimitives.ReadInt64LittleEndian(bytes[2..]);
        long enabledRevision = BinaryPrimitives.ReadInt64LittleEndian(bytes[10..]);
        uint users = BinaryPrimitives.ReadUInt32LittleEndian(bytes[18..]);
        uint roles = BinaryPrimitives.ReadUInt32LittleEndian(bytes[22..]);
        if (revision < 1 || enabledRevision < 0 || enabledRevision > revision || users > AuthLimits.MaxUsers || roles > AuthLimits.MaxRoles)
        {
            throw Damaged($"revision {revision}, enabled at {enabledRevision}, {users} users, {roles} roles");
        }

        var reader = new Reader(bytes[HeaderBytes..]);
        var foundUsers = new AuthUser[users];
        for (int i = 0; i < foundUsers.Length; i++)
        {
            foundUsers[i] = ReadUser(ref reader, revision);
            RequireOrder(i > 0 ? foundUsers[i - 1].Name : null, foundUsers[i].Name);
        }

        var foundRoles = new AuthRole[roles];
        for (int i = 0; i < foundRoles.Length; i++)
        {
            foundRoles[i] = ReadRole(ref reader);
            RequireOrder(i > 0 ? foundRoles[i - 1].Name : null, foundRoles[i].Name);
        }

        return reader.IsAtEnd ? AuthState.Load(bytes[1] == Enabled, revision, enabledRevision, foundUsers, foundRoles) : throw Damaged("bytes follow it");
    }

    private static AuthUser ReadUser(ref Reader reader, long revision)
    {
        string name = reader.Name();
        byte flags = reader.Byte();
        long credentials = reader.Long();
        byte[] hash = reader.Bytes(reader.Byte(), AuthLimits.MaxHashBytes);
        string[] roles = new string[reader.Count(AuthLimits.MaxRolesOfUser)];
        for (int i = 0; i < roles.Length; i++)
        {
            roles[i] = reader.Name();
            RequireOrder(i > 0 ? roles[i - 1] : null, roles[i]);
        }

        return (flags & ~HasPassword) == 0 && credentials >= 1 && credentials <= revision
            ? new AuthUser(name, hash, flags == HasPassword, credentials, roles)
            : throw Damaged($"a user with flags {flags} and a password of revision {credentials}");
    }

    private static AuthRole ReadRole(ref Reader reader)
    {
        string name = reader.Name();
        var permissions = new Permission[reader.Count(AuthLimits.MaxPermissions)];
        for (int i = 0; i < permissions.Length; i++)
        {
            byte kind = reader.Byte();
            byte[] start = reader.Bytes(reader.Count(CommandLimits.MaxKeyBytes), CommandLimits.MaxKeyBytes);
            byte[] end = reader.Bytes(reader.Count(CommandLimits.MaxKeyBytes), CommandLimits.MaxKeyBytes);
            permissions[i] = new Permission((PermissionKind)kind, new KeyRange(start, end));
            if (kind > (byte)PermissionKind.ReadWrite || start.Length == 0 || permissions[i].Range.IsEmpty() || (i > 0 && Compare(permissions[i - 1].Range, permissions[i].Range) >= 0))
            {
                throw Damaged($"permission {i} of a role");
            }
        }

        return new AuthRole(name, permissions);
    }

    /// <summary>The order of permissions in a role.</summary>
    public static int Compare(KeyRange x, KeyRange y)
    {
        int order = x.Start.Span.SequenceCompareTo(y.Start.Span);
        return order != 0 ? order : x.End.Span.SequenceCompareTo(y.End.Span);
    }

    private static void RequireOrder(string? previous, string name)
    {
        if (previous is not null && string.CompareOrdinal(previous, name) >= 0)
        {
            throw Damaged("names out of order");
        }
    }

    private static int NameBytes(string name) => 2 + Encoding.UTF8.GetByteCount(name);

    private static RaftException Damaged(string what) =>
        new(RaftErrorCode.Corruption, $"The table of users and roles is damaged ({what}). The checkpoint or snapshot that holds it cannot be used.");

    private ref struct Writer(Span<byte> rest)
    {
        private Span<byte> rest = rest;

        public void Byte(byte value)
        {
            rest[0] = value;
            rest = rest[1..];
        }

        public void Long(long value)
        {
            BinaryPrimitives.WriteInt64LittleEndian(rest, value);
            rest = rest[8..];
        }

        public void Count(int count)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(rest, checked((ushort)count));
            rest = rest[2..];
        }

        public void Bytes(ReadOnlySpan<byte> bytes)
        {
            bytes.CopyTo(rest);
            rest = rest[bytes.Length..];
        }

        public void Name(string name)
        {
            int length = Encoding.UTF8.GetBytes(name, rest[2..]);
            Count(length);
            rest = rest[length..];
        }
    }

    private ref struct Reader(ReadOnlySpan<byte> rest)
    {
        private ReadOnlySpan<byte> rest = rest;

        public readonly bool IsAtEnd => rest.IsEmpty;

        public byte Byte() => Take(1)[0];

        public long Long() => BinaryPrimitives.ReadInt64LittleEndian(Take(8));

        public int Count(int limit)
        {
            int count = BinaryPrimitives.ReadUInt16LittleEndian(Take(2));
            return count <= limit ? count : throw Damaged($"{count} where at most {limit} may be");
        }

        public byte[] Bytes(int length, int limit) => length <= limit ? Take(length).ToArray() : throw Damaged($"{length} bytes where at most {limit} may be");

        public string Name()
        {
            ReadOnlySpan<byte> name = Take(Count(AuthLimits.MaxNameBytes));
            try
            {
                return name.IsEmpty ? throw Damaged("an empty name") : Utf8.GetString(name);
            }
            catch (DecoderFallbackException)
            {
                throw Damaged("a name that is not text");
            }
        }

        private ReadOnlySpan<byte> Take(int length)
        {
            if (length > rest.Length)
            {
                throw Damaged("it ends early");
            }

            ReadOnlySpan<byte> taken = rest[..length];
            rest = rest[length..];
            return taken;
        }
    }
}
