using Microsoft.Extensions.Options;

namespace Loom.Store.Hosting;

/// <summary>All faults of the options in one message, before the host starts anything.</summary>
internal sealed class LoomOptionsValidator : IValidateOptions<LoomOptions>
{
    public ValidateOptionsResult Validate(string? name, LoomOptions options)
    {
        List<string> faults = options.Faults();
        return faults.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults);
    }
}
