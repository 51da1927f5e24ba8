using Loom.Server.Configuration;
using Loom.Server.Etcd;
using Loom.Server.Hosting;
using Loom.Server.Tests.Configuration;
using Loom.Store;
using Loom.Store.Model;
using Microsoft.Extensions.Logging.Abstractions;

namespace Loom.Server.Tests.Hosting;

[TestFixture]
internal sealed class StoreOpeningTests
{
    /// <summary>Goal: what the settings accept, the store accepts. Method: open with the maximum of the flag, and write a request of that size.</summary>
    [Test]
    public async Task A_store_opens_with_the_largest_request_that_the_flag_takes()
    {
        string directory = Directory.CreateTempSubdirectory("loom-largest-").FullName;
        try
        {
            ServeSettings settings = ServeSettings.From(SettingSourcesTests.Read(
                ["--data-dir", directory, "--max-request-bytes", EtcdLimits.MaxRequestBytesLimit.ToString(System.Globalization.CultureInfo.InvariantCulture)]));
            await using ILoomStore store = await StoreOpening.OpenAsync(settings, NullLoggerFactory.Instance, CancellationToken.None);
            byte[] value = new byte[EtcdLimits.MaxRequestBytesLimit - 32];
            PutResult put = await store.PutAsync(new PutOperation("k"u8.ToArray(), value));
            Assert.That((await store.GetAsync("k"u8.ToArray(), ReadConsistency.AtLeast(put.Revision)))!.Value.Length, Is.EqualTo(value.Length));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
